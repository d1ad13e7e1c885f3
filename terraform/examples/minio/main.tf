# Brokers on machines given by address, their log on MinIO or another S3-compatible store.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }
}

# Speaks with the store only; nothing here asks AWS for anything.
provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.store_access_key_id
  secret_key                  = var.store_secret_access_key
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true

  endpoints {
    s3 = var.store_endpoint
  }
}

variable "store_endpoint" {
  description = "URL of the store, as this machine and the brokers' reach it."
  type        = string
}

variable "store_access_key_id" {
  description = "Its access key."
  type        = string
}

variable "store_secret_access_key" {
  description = "Its secret."
  type        = string
  sensitive   = true
}

variable "bucket" {
  description = "Bucket to make for the log."
  type        = string
  default     = "floe"
}

variable "create_bucket" {
  description = "False: the bucket is there."
  type        = bool
  default     = true
}

variable "machines" {
  description = "Machines by name, as the module takes them."
  type = map(object({
    host      = string
    ssh_port  = optional(number, 22)
    user      = optional(string, "root")
    advertise = optional(string)
    rack      = optional(string)
  }))
}

variable "ssh_private_key_file" {
  description = "Key for them. Default: the SSH agent's."
  type        = string
  default     = null
}

variable "binary_url" {
  description = "Where machines fetch floe."
  type        = string
}

variable "binary_sha256" {
  description = "Its SHA-256."
  type        = string
}

variable "brokers" {
  description = "1, or 0 to stop the broker; the log stays in the bucket."
  type        = number
  default     = 1
}

variable "accept_no_security" {
  description = "True says: whoever reaches the machines may read, write and delete everything."
  type        = bool
}

variable "idle_exit" {
  description = "Drain and end after this time without clients; the next connection starts the broker again."
  type        = string
  default     = null
}

variable "listen_address" {
  description = "Address that brokers bind."
  type        = string
  default     = "0.0.0.0"
}

variable "port" {
  description = "Kafka's port."
  type        = number
  default     = 9092
}

variable "admin_port" {
  description = "Port of metrics and status."
  type        = number
  default     = 9644
}

variable "settings" {
  description = "Settings of the broker."
  type        = map(string)
  default     = {}
}

module "floe" {
  source = "../../modules/floe"

  platform                = "machines"
  brokers                 = var.brokers
  accept_no_security      = var.accept_no_security
  binary_url              = var.binary_url
  binary_sha256           = var.binary_sha256
  machines                = var.machines
  ssh_private_key_file    = var.ssh_private_key_file
  bucket                  = var.bucket
  create_bucket           = var.create_bucket
  bucket_protection       = false
  store_endpoint          = var.store_endpoint
  store_access_key_id     = var.store_access_key_id
  store_secret_access_key = var.store_secret_access_key
  idle_exit               = var.idle_exit
  listen_address          = var.listen_address
  port                    = var.port
  admin_port              = var.admin_port
  settings                = var.settings
}

output "bootstrap_servers" {
  description = "For clients."
  value       = module.floe.bootstrap_servers
}

output "admin_urls" {
  description = "Where metrics and status are."
  value       = module.floe.admin_urls
}

output "store_url" {
  description = "For floe verify, du and gc."
  value       = module.floe.store_url
}

output "policy_json" {
  description = "What the broker's key must be allowed: the store can be told to allow no more."
  value       = module.floe.policy_json
}
