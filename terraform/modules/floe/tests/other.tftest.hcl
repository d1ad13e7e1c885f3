# Brokers on machines given by address, and no brokers at all, with a mocked provider that knows at once what others tell after an apply.

mock_provider "aws" {
  override_during = plan

  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/floe-broker" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/floe-broker" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
}

variables {
  accept_no_security = true
  binary_url         = "https://releases.example/floe"
  binary_sha256      = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  bucket             = "floe-log"
}

run "a_single_broker_on_a_machine" {
  command = plan
  variables {
    platform                = "machines"
    store_endpoint          = "http://minio.example:9000"
    store_access_key_id     = "floe"
    store_secret_access_key = "s3cr3t-of-the-store"
    bucket_protection       = false
    machines = {
      one = { host = "10.1.0.5" }
      two = { host = "10.1.0.6", advertise = "two.example" }
    }
    settings = { "num.partitions" = "3" }
  }
  assert {
    condition     = output.bootstrap_servers == "10.1.0.5:9092" && output.client_properties == "bootstrap.servers=10.1.0.5:9092\nsecurity.protocol=PLAINTEXT\nacks=all\n" && output.admin_urls[0] == "http://10.1.0.5:9644"
    error_message = "the first machine by name runs the broker"
  }
  assert {
    condition     = strcontains(nonsensitive(local.scripts["one"]), "systemctl restart floe.service") && strcontains(nonsensitive(local.scripts["two"]), "systemctl disable --now floe.service")
    error_message = "the other is installed, and stands still"
  }
  assert {
    condition     = strcontains(local.config_file, "\"s3.endpoint\" = \"http://minio.example:9000\"\n\"s3.region\" = \"us-east-1\"\n\"store\" = \"s3://floe-log/floe\"\n") && strcontains(local.config_file, "\"num.partitions\" = \"3\"")
    error_message = "settings: ${local.config_file}"
  }
  assert {
    condition     = !strcontains(local.config_file, "s3cr3t") && !strcontains(nonsensitive(local.scripts["one"]), "s3cr3t") && strcontains(nonsensitive(local.scripts["one"]), "write '/etc/floe/credentials' 0600")
    error_message = "the secret is in a file of its own"
  }
  assert {
    condition     = length(aws_s3_bucket.log) == 1 && length(aws_s3_bucket_public_access_block.log) + length(aws_s3_bucket_policy.tls_only) + length(aws_s3_bucket_lifecycle_configuration.log) + length(aws_iam_policy.broker) + length(aws_security_group.broker) == 0
    error_message = "a bucket, and nothing that MinIO refuses"
  }
}

run "a_broker_that_sleeps_and_is_woken" {
  command = plan
  variables {
    platform       = "machines"
    store_endpoint = "http://minio.example:9000"
    create_bucket  = false
    machines       = { one = { host = "10.1.0.5", user = "admin" } }
    idle_exit      = "15m"
  }
  assert {
    condition     = strcontains(local.socket_unit, "ListenStream=0.0.0.0:9092\nListenStream=0.0.0.0:9644\n") && strcontains(local.config_file, "\"floe.idle.exit.ms\" = \"15m\"")
    error_message = "systemd holds the ports"
  }
  assert {
    condition     = strcontains(local.scripts["one"], "systemctl start floe.socket") && !strcontains(local.service_unit, "WantedBy=multi-user.target") && length(aws_s3_bucket.log) == 0
    error_message = "the socket starts the service"
  }
}

run "stopped_machines" {
  command = plan
  variables {
    platform       = "machines"
    brokers        = 0
    store_endpoint = "http://minio.example:9000"
    machines       = { one = { host = "10.1.0.5" } }
  }
  assert {
    condition     = strcontains(local.scripts["one"], "systemctl disable --now floe.service") && output.bootstrap_servers == ""
    error_message = "none runs"
  }
}

run "a_cluster_on_machines" {
  command = plan
  variables {
    platform       = "machines"
    brokers        = 3
    cluster        = true
    etcd_endpoints = ["http://10.1.0.1:2379"]
    store_endpoint = "http://minio.example:9000"
    machines = {
      a = { host = "10.1.0.5", rack = "r1" }
      b = { host = "10.1.0.6", rack = "r2" }
      c = { host = "10.1.0.7", rack = "r3" }
    }
  }
  assert {
    condition     = strcontains(local.scripts["b"], base64encode("RACK=r2\nADDRESS=10.1.0.6\n")) && strcontains(local.service_unit, "--etcd http://10.1.0.1:2379 --broker-id auto")
    error_message = "each machine knows its rack and address"
  }
}

run "only_a_bucket_and_its_policy" {
  command = plan
  variables {
    platform           = "none"
    accept_no_security = false
    binary_url         = null
    binary_sha256      = null
  }
  assert {
    condition     = length(aws_s3_bucket.log) == 1 && length(aws_iam_policy.broker) == 1 && length(aws_iam_role.broker) == 0 && length(aws_autoscaling_group.broker) == 0 && output.bootstrap_servers == null
    error_message = "nothing runs"
  }
}

run "a_network_for_brokers_that_others_start" {
  command = plan
  variables {
    platform        = "none"
    network         = true
    vpc_id          = "vpc-0123456789abcdef0"
    route_table_ids = ["rtb-a"]
    client_cidrs    = ["10.0.0.0/16", "fd00:1::/64"]
  }
  assert {
    condition     = length(aws_security_group.broker) == 1 && length(aws_vpc_endpoint.s3) == 1 && length(aws_iam_instance_profile.broker) == 1 && length(aws_lb.broker) == 0
    error_message = "security group, endpoint and role"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients["fd00:1::/64"].cidr_ipv6 == "fd00:1::/64" && aws_vpc_security_group_ingress_rule.clients["10.0.0.0/16"].cidr_ipv4 == "10.0.0.0/16"
    error_message = "clients by both kinds of address"
  }
}
