# Everything around brokers on LocalStack: bucket, policy, role, network, logs. The broker is started by hand with the settings that come out.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }
}

variable "endpoint" {
  description = "Where LocalStack listens."
  type        = string
  default     = "http://127.0.0.1:4566"
}

variable "bucket" {
  description = "Bucket to make for the log."
  type        = string
  default     = "floe"
}

variable "log_retention_days" {
  description = "How long logs would be kept."
  type        = number
  default     = 7
}

variable "surroundings" {
  description = "Also what a broker on AWS has around it: network, role, logs, and the bucket's protection, which takes a minute. False: the bucket alone."
  type        = bool
  default     = true
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  endpoints {
    cloudwatch = var.endpoint
    ec2        = var.endpoint
    iam        = var.endpoint
    logs       = var.endpoint
    s3         = var.endpoint
    sts        = var.endpoint
  }
}

locals {
  around = var.surroundings ? 1 : 0
}

resource "aws_vpc" "here" {
  count      = local.around
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "here" {
  count      = local.around
  vpc_id     = aws_vpc.here[0].id
  cidr_block = "10.0.0.0/24"
}

resource "aws_route_table" "here" {
  count  = local.around
  vpc_id = aws_vpc.here[0].id

  lifecycle {
    # The endpoint of S3 adds its own.
    ignore_changes = [route]
  }
}

resource "aws_route_table_association" "here" {
  count          = local.around
  subnet_id      = aws_subnet.here[0].id
  route_table_id = aws_route_table.here[0].id
}

module "floe" {
  source = "../../modules/floe"

  platform           = "none"
  network            = var.surroundings
  iam                = var.surroundings
  bucket_protection  = var.surroundings
  bucket             = var.bucket
  force_destroy      = true
  store_endpoint     = var.endpoint
  listen_address     = "127.0.0.1"
  vpc_id             = one(aws_vpc.here[*].id)
  route_table_ids    = aws_route_table.here[*].id
  client_cidrs       = ["10.0.0.0/16"]
  log_retention_days = var.log_retention_days
}

output "config_file" {
  description = "Settings of a broker on this bucket."
  value       = module.floe.config_file
}

output "policy_json" {
  description = "What the broker must be allowed."
  value       = module.floe.policy_json
}

output "store_url" {
  description = "The store."
  value       = module.floe.store_url
}
