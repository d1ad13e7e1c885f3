# One broker on AWS, whose group may be empty. Needs a VPC with private subnets that reach binary_url.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "bucket" {
  description = "Bucket to make for the log; its name must be free in all of AWS."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Its private subnets, one in each zone."
  type        = list(string)
}

variable "route_table_ids" {
  description = "Their route tables, unless they have an endpoint of S3."
  type        = list(string)
  default     = []
}

variable "client_cidrs" {
  description = "Where clients are."
  type        = list(string)
}

variable "binary_url" {
  description = "Where the instance fetches floe (arm64)."
  type        = string
}

variable "binary_sha256" {
  description = "Its SHA-256."
  type        = string
}

variable "brokers" {
  description = "1, or 0 to stop it; the log stays in the bucket."
  type        = number
  default     = 1
}

variable "accept_no_security" {
  description = "True says: whoever is in client_cidrs may read, write and delete everything."
  type        = bool
}

variable "settings" {
  description = "Settings of the broker."
  type        = map(string)
  default     = {}
}

module "floe" {
  source = "../../modules/floe"

  platform           = "aws"
  brokers            = var.brokers
  accept_no_security = var.accept_no_security
  binary_url         = var.binary_url
  binary_sha256      = var.binary_sha256
  bucket             = var.bucket
  vpc_id             = var.vpc_id
  subnet_ids         = var.subnet_ids
  route_table_ids    = var.route_table_ids
  client_cidrs       = var.client_cidrs
  settings           = var.settings
}

output "bootstrap_servers" {
  description = "For clients."
  value       = module.floe.bootstrap_servers
}

output "autoscaling_group_name" {
  description = "What starts and stops the broker."
  value       = module.floe.autoscaling_group_name
}

output "store_url" {
  description = "For floe verify, du and gc."
  value       = module.floe.store_url
}

output "policy_json" {
  description = "The policy of the broker."
  value       = module.floe.policy_json
}
