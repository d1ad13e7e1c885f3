# etcd for a cluster, where none is given: three small instances with addresses that are known before they start.

locals {
  etcd_members = local.has_etcd ? join(",", [for n, card in aws_network_interface.etcd : "etcd-${n}=http://${card.private_ip}:2380"]) : ""
}

resource "aws_network_interface" "etcd" {
  count           = local.has_etcd ? 3 : 0
  subnet_id       = var.subnet_ids[count.index % length(var.subnet_ids)]
  security_groups = [aws_security_group.etcd[0].id]
  tags            = merge(local.tags, { Name = "${var.name}-etcd-${count.index}" })
}

resource "aws_instance" "etcd" {
  count         = local.has_etcd ? 3 : 0
  ami           = local.image
  instance_type = var.etcd_instance_type
  user_data = templatefile("${path.module}/templates/etcd.sh.tftpl", {
    url     = var.etcd_url
    sha256  = var.etcd_sha256
    name    = "etcd-${count.index}"
    address = aws_network_interface.etcd[count.index].private_ip
    members = local.etcd_members
    token   = var.name
  })
  tags = merge(local.tags, { Name = "${var.name}-etcd-${count.index}" })

  network_interface {
    network_interface_id = aws_network_interface.etcd[count.index].id
    device_index         = 0
  }
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }
  root_block_device {
    volume_type = "gp3"
    volume_size = 20
    encrypted   = true
  }

  lifecycle {
    # A newer image is no reason to lose a member.
    ignore_changes = [ami, user_data]
  }
}
