# Brokers on AWS, with a mocked provider that knows at once what others tell after an apply: what is made for a single broker, for none, for a cluster.

mock_provider "aws" {
  override_during = plan

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/floe-broker" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/floe-broker" }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/floe/0", dns_name = "floe.elb.example" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/floe/0" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
  mock_resource "aws_security_group" {
    defaults = { id = "sg-0123456789abcdef0" }
  }
  mock_resource "aws_network_interface" {
    defaults = { id = "eni-0123456789abcdef0", private_ip = "10.0.0.7" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-0123456789abcdef0" }
  }
}

variables {
  platform           = "aws"
  accept_no_security = true
  binary_url         = "https://releases.example/floe"
  binary_sha256      = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  bucket             = "floe-log"
  vpc_id             = "vpc-0123456789abcdef0"
  subnet_ids         = ["subnet-a", "subnet-b", "subnet-c"]
  route_table_ids    = ["rtb-a"]
  client_cidrs       = ["10.0.0.0/16"]
}

run "a_single_broker" {
  command = plan
  assert {
    condition     = aws_autoscaling_group.broker[0].min_size == 0 && aws_autoscaling_group.broker[0].max_size == 1 && aws_autoscaling_group.broker[0].desired_capacity == local.desired && local.desired == 1 && aws_autoscaling_group.broker[0].instance_refresh[0].preferences[0].min_healthy_percentage == 0
    error_message = "one broker in a group that may be empty"
  }
  assert {
    condition     = aws_lb.broker[0].internal && output.bootstrap_servers == "floe.elb.example:9092"
    error_message = "clients come through an internal load balancer"
  }
  assert {
    condition     = strcontains(local.user_data, base64encode("${local.config_file}advertise = \"floe.elb.example:9092\"\n")) && strcontains(local.config_file, "\"insecure\" = \"true\"")
    error_message = "a single broker tells clients the load balancer's address"
  }
  assert {
    condition     = strcontains(local.user_data, var.binary_sha256) && !strcontains(local.user_data, "--etcd") && strcontains(local.user_data, "\"log_group_name\": \"/floe/floe\"")
    error_message = "the program is checked; a single broker knows no etcd"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.clients) == 0 && length(aws_vpc_security_group_ingress_rule.peers) == 0 && length(aws_instance.etcd) == 0
    error_message = "nobody dials a single broker but the load balancer"
  }
  assert {
    condition     = aws_launch_template.broker[0].metadata_options[0].http_tokens == "required" && aws_launch_template.broker[0].block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.broker[0].network_interfaces[0].associate_public_ip_address == "false"
    error_message = "IMDSv2, an encrypted disk, no public address"
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.log[0].restrict_public_buckets && aws_s3_bucket_public_access_block.log[0].block_public_acls && aws_s3_bucket_public_access_block.log[0].block_public_policy && aws_s3_bucket_public_access_block.log[0].ignore_public_acls
    error_message = "the bucket is private"
  }
  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.log[0].rule).abort_incomplete_multipart_upload[0].days_after_initiation == 1 && length(one(aws_s3_bucket_lifecycle_configuration.log[0].rule).expiration) == 0
    error_message = "abandoned uploads end, nothing else does"
  }
  assert {
    condition     = jsondecode(output.policy_json).Statement[0].Resource == "arn:aws:s3:::floe-log/floe/*" && jsondecode(output.policy_json).Statement[1].Resource == "arn:aws:s3:::floe-log" && length(jsondecode(output.policy_json).Statement) == 2
    error_message = "brokers may touch their part of the bucket only"
  }
  assert {
    condition     = toset(flatten(jsondecode(output.policy_json).Statement[*].Action)) == toset(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"])
    error_message = "brokers may do what they do, no more"
  }
  assert {
    condition     = aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway" && length(aws_cloudwatch_metric_alarm.unready) == 1 && length(aws_cloudwatch_metric_alarm.errors) == 1
    error_message = "the store's traffic stays within AWS; alarms are made"
  }
}

run "zero_brokers" {
  command = plan
  variables {
    brokers = 0
  }
  assert {
    condition     = aws_autoscaling_group.broker[0].desired_capacity == 0 && aws_autoscaling_group.broker[0].max_size == 1
    error_message = "an empty group that can be scaled up"
  }
}

run "a_key_of_its_own_and_a_group_that_others_scale" {
  command = plan
  variables {
    manage_count = false
    kms_key_arn  = "arn:aws:kms:eu-west-1:123456789012:key/0d1e2f"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.log[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && jsondecode(output.policy_json).Statement[2].Resource == var.kms_key_arn
    error_message = "the bucket's key, and brokers may use it"
  }
  assert {
    condition     = local.desired == null
    error_message = "an apply does not set how many there are"
  }
}

run "a_cluster" {
  command = plan
  variables {
    brokers     = 3
    cluster     = true
    etcd_url    = "https://releases.example/etcd.tar.gz"
    etcd_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  assert {
    condition     = length(aws_instance.etcd) == 3 && output.etcd_endpoints[0] == "http://10.0.0.7:2379" && aws_autoscaling_group.broker[0].max_size == 3
    error_message = "three brokers, three members of etcd"
  }
  assert {
    condition     = strcontains(local.service_unit, "--etcd http://10.0.0.7:2379,http://10.0.0.7:2379,http://10.0.0.7:2379 --broker-id auto --rack $${RACK} --peer-listen $${ADDRESS}:9095\n")
    error_message = "the cluster options: ${local.service_unit}"
  }
  assert {
    condition     = strcontains(local.user_data, "grep -q -e --etcd") && strcontains(local.user_data, "FLOE_ADVERTISE=$address:9092")
    error_message = "a program without cluster options is refused; each broker tells its own address"
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.peers[0].referenced_security_group_id == aws_security_group.broker[0].id &&
      aws_vpc_security_group_ingress_rule.peers[0].cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.peers[0].from_port == 9095 && aws_vpc_security_group_ingress_rule.peers[0].to_port == 9095 &&
      alltrue([for rule in values(aws_vpc_security_group_ingress_rule.clients) : rule.from_port == 9092 && rule.to_port == 9092]) &&
      alltrue([for rule in values(aws_vpc_security_group_ingress_rule.etcd) : rule.cidr_ipv4 == null])
    )
    error_message = "clients reach Kafka's port; the listener between brokers admits brokers only, etcd brokers and itself"
  }
}

run "a_cluster_on_an_etcd_that_is_there" {
  command = plan
  variables {
    brokers        = 3
    brokers_max    = 5
    cluster        = true
    etcd_endpoints = ["http://10.0.9.1:2379"]
    logs           = false
  }
  assert {
    condition     = length(aws_instance.etcd) == 0 && strcontains(local.service_unit, "--etcd http://10.0.9.1:2379 ") && aws_autoscaling_group.broker[0].max_size == 5
    error_message = "the given etcd is used"
  }
  assert {
    condition     = length(aws_cloudwatch_log_group.broker) == 0 && length(aws_iam_role_policy.logs) == 0 && !strcontains(local.service_unit, "/var/log")
    error_message = "no logs to CloudWatch"
  }
}
