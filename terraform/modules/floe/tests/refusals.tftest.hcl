# Inputs that are refused. Each run gives several at once, and fails if one of them is taken. A condition that looks at a second input is only
# asked where that one is fine.

mock_provider "aws" {}

variables {
  platform           = "aws"
  accept_no_security = true
  binary_url         = "https://releases.example/floe"
  binary_sha256      = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  bucket             = "floe-log"
  vpc_id             = "vpc-0123456789abcdef0"
  subnet_ids         = ["subnet-a"]
}

run "a_single_broker_on_aws" {
  command = plan
  variables {
    name                    = "Floe_1" # balancers refuse it
    accept_no_security      = false
    binary_url              = null
    binary_sha256           = "latest"
    brokers_max             = 2 # needs a cluster
    broker_id               = "one"
    etcd_endpoints          = ["http://10.0.0.1:2379"] # without a cluster
    port                    = 9644                     # admin_port's
    listen_address          = "localhost"
    bucket                  = "Log"
    store_prefix            = "../other"
    store_endpoint          = "http://minio/path"
    store_access_key_id     = "a" # instances have a role
    store_secret_access_key = "b"
    kms_key_arn             = "arn:aws:kms:eu-west-1:123456789012:alias/a"
    iam                     = false
    settings                = { "insecure" = "false" } # the module's
    idle_exit               = "15m"                    # nothing wakes it here
    vpc_id                  = null
    subnet_ids              = []
    client_cidrs            = ["0.0.0.0/0"]
    admin_cidrs             = ["0.0.0.0/0"]
    architecture            = "riscv"
    ami_id                  = "debian"
    volume_gib              = 1
    log_retention_days      = 31
  }
  expect_failures = [
    var.name, var.accept_no_security, var.binary_url, var.binary_sha256, var.brokers_max, var.broker_id, var.etcd_endpoints, var.port,
    var.listen_address, var.bucket, var.store_prefix, var.store_endpoint, var.store_access_key_id,
    var.kms_key_arn, var.iam, var.settings, var.idle_exit, var.vpc_id, var.subnet_ids, var.client_cidrs, var.admin_cidrs, var.architecture,
    var.ami_id, var.volume_gib, var.log_retention_days,
  ]
}

run "a_single_broker_on_a_machine" {
  command = plan
  variables {
    platform            = "machines"
    machines            = { a = { host = "a; reboot" } }
    client_cidrs        = ["10.0.0.0/16", "172.0.0.0/8"]
    store_access_key_id = "a" # half of a pair
    settings            = { "Num Partitions" = "1" }
    idle_exit           = "15" # of what?
    network             = true
    route_table_ids     = ["rtb-a"]
    admin_port          = 80
    binary_url          = "floe"
  }
  # Routes are refused because there is no network, and a network because there are machines.
  expect_failures = [
    var.machines, var.client_cidrs, var.store_secret_access_key, var.settings, var.idle_exit, var.network, var.admin_port, var.binary_url,
  ]
}

run "routes_without_a_network" {
  command = plan
  variables {
    platform                = "machines"
    machines                = { a = { host = "10.1.0.5" } }
    route_table_ids         = ["rtb-a"]
    vpc_id                  = "main"
    binary_sha256           = null
    brokers                 = 3 # without a cluster
    store_access_key_id     = "a"
    store_secret_access_key = "b c"
  }
  expect_failures = [var.route_table_ids, var.vpc_id, var.binary_sha256, var.brokers, var.store_secret_access_key]
}

run "a_cluster_on_aws" {
  command = plan
  variables {
    cluster   = true # and no etcd
    broker_id = "3"  # for all of them
    peer_port = 9092 # Kafka's
    idle_exit = "15m"
    machines  = { a = { host = "10.1.0.5" } } # there are none on AWS
  }
  expect_failures = [var.etcd_url, var.broker_id, var.peer_port, var.idle_exit, var.machines]
}

run "a_cluster_whose_etcd_is_not_checked" {
  command = plan
  variables {
    cluster  = true
    etcd_url = "https://releases.example/etcd.tar.gz"
    brokers  = 0.5
  }
  expect_failures = [var.etcd_sha256, var.brokers]
}

run "a_cluster_on_machines" {
  command = plan
  variables {
    platform       = "machines"
    machines       = { a = { host = "10.1.0.5" } }
    cluster        = true
    etcd_endpoints = ["10.0.0.1:2379"] # without a scheme
    brokers        = 2                 # on one machine
    idle_exit      = "15m"             # a member does not just go
  }
  expect_failures = [var.etcd_endpoints, var.brokers, var.idle_exit]
}

run "a_cluster_on_machines_without_etcd" {
  command = plan
  variables {
    platform    = "machines"
    machines    = { a = { host = "10.1.0.5" } }
    cluster     = true
    brokers_max = 0
  }
  expect_failures = [var.etcd_endpoints, var.brokers_max]
}

run "an_unknown_platform" {
  command = plan
  variables {
    platform = "gcp"
  }
  expect_failures = [var.platform]
}
