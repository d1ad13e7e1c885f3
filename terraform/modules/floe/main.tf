# What is decided once, and what machines get: the same files whether they come by SSH or by user data.

locals {
  on_aws      = var.platform == "aws"
  on_machines = var.platform == "machines"
  on_s3       = var.store_endpoint == null
  has_network = local.on_aws || var.network
  has_iam     = coalesce(var.iam, local.on_s3)
  has_logs    = var.logs && (local.on_aws || var.network)
  has_etcd    = var.cluster && local.on_aws && length(var.etcd_endpoints) == 0
  brokers_max = coalesce(var.brokers_max, max(var.brokers, 1))
  tags        = merge(var.tags, { floe = var.name })

  store_url    = "s3://${var.bucket}/${var.store_prefix}"
  store_region = var.store_region != null ? var.store_region : local.on_s3 ? data.aws_region.here[0].name : "us-east-1"

  etcd_endpoints = local.has_etcd ? [for card in aws_network_interface.etcd : "http://${card.private_ip}:2379"] : var.etcd_endpoints

  # Keys in the order of their names, so that the file only changes when they do.
  config = {
    for key, value in merge(var.settings, {
      store         = local.store_url
      listen        = "${var.listen_address}:${var.port}"
      admin         = "${var.listen_address}:${var.admin_port}"
      insecure      = "true"
      "log.format"  = "json"
      "s3.endpoint" = var.store_endpoint
      "s3.region"   = local.store_region
      "broker.id"   = var.broker_id == "auto" ? null : var.broker_id
      # With idle_exit systemd holds the ports, and the same addresses are in the socket unit.
      "floe.idle.exit.ms" = var.idle_exit
    }) : key => value if value != null
  }
  config_file = templatefile("${path.module}/templates/floe.toml.tftpl", { config = local.config })

  cluster_flags = var.cluster ? join(" ", [
    "--etcd ${join(",", local.etcd_endpoints)}",
    "--broker-id auto",
    "--rack $${RACK}",
    "--peer-listen $${ADDRESS}:${var.peer_port}",
  ]) : ""

  service_unit = templatefile("${path.module}/templates/floe.service.tftpl", {
    flags     = local.cluster_flags
    to_file   = local.on_aws && var.logs
    by_socket = var.idle_exit != null
  })
  socket_unit = templatefile("${path.module}/templates/floe.socket.tftpl", {
    addresses = ["${var.listen_address}:${var.port}", "${var.listen_address}:${var.admin_port}"]
  })

  files = concat(
    [{ path = "/etc/systemd/system/floe.service", mode = "0644", text = local.service_unit }],
    var.idle_exit == null ? [] : [{ path = "/etc/systemd/system/floe.socket", mode = "0644", text = local.socket_unit }],
  )

  unit     = var.idle_exit == null ? "floe.service" : "floe.socket"
  check_at = "http://${var.listen_address == "0.0.0.0" ? "127.0.0.1" : var.listen_address}:${var.admin_port}/readyz"
}
