output "bootstrap_servers" {
  description = "What clients are given as `bootstrap.servers`. Null on `none`."
  value = (
    local.on_aws ? "${aws_lb.broker[0].dns_name}:${var.port}" :
    local.on_machines ? join(",", [for name in local.running : local.advertise[name]]) : null
  )
}

output "client_properties" {
  description = "A client's properties file. Null on `none`."
  value = var.platform == "none" ? null : join("\n", [
    "bootstrap.servers=${local.on_aws ? "${aws_lb.broker[0].dns_name}:${var.port}" : join(",", [for name in local.running : local.advertise[name]])}",
    "security.protocol=PLAINTEXT",
    "acks=all",
    "",
  ])
}

output "admin_urls" {
  description = "Where brokers on `machines` show `/metrics` and `/status`. On AWS they are at `admin_port` of the instances."
  value       = [for name in local.running : "http://${var.machines[name].host}:${var.admin_port}"]
}

output "store_url" {
  description = "The store, as `floe` commands take it."
  value       = local.store_url
}

output "bucket" {
  description = "Name of the bucket."
  value       = var.create_bucket ? aws_s3_bucket.log[0].id : var.bucket
}

output "policy_json" {
  description = "What brokers must be allowed, as an IAM policy."
  value       = jsonencode(local.policy)
}

output "policy_arn" {
  description = "The policy, where `iam` made one; for roles of other platforms."
  value       = one(aws_iam_policy.broker[*].arn)
}

output "role_name" {
  description = "Role of brokers' instances, where there is one."
  value       = one(aws_iam_role.broker[*].name)
}

output "instance_profile_name" {
  description = "Instance profile of brokers, where there is one."
  value       = one(aws_iam_instance_profile.broker[*].name)
}

output "security_group_id" {
  description = "Security group of brokers, where there is one."
  value       = one(aws_security_group.broker[*].id)
}

output "autoscaling_group_name" {
  description = "The group, where brokers run on AWS: setting its desired capacity starts and stops them."
  value       = one(aws_autoscaling_group.broker[*].name)
}

output "log_group_name" {
  description = "Where brokers' logs are, on AWS."
  value       = one(aws_cloudwatch_log_group.broker[*].name)
}

output "etcd_endpoints" {
  description = "etcd of a cluster: given, or made here."
  value       = local.etcd_endpoints
}

output "config_file" {
  description = "The settings file of brokers, for those that are started by other means."
  value       = local.config_file
}
