# Who reaches what. The listener between brokers admits brokers only, etcd admits brokers and itself.

resource "aws_vpc_endpoint" "s3" {
  count             = length(var.route_table_ids) > 0 ? 1 : 0
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${data.aws_region.here[0].name}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids
  tags              = merge(local.tags, { Name = "${var.name}-s3" })
}

resource "aws_security_group" "broker" {
  count       = local.has_network ? 1 : 0
  name        = "${var.name}-broker"
  description = "Brokers of Floe"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-broker" })
}

resource "aws_vpc_security_group_egress_rule" "broker" {
  count             = length(aws_security_group.broker)
  security_group_id = aws_security_group.broker[0].id
  description       = "The store, etcd, other brokers, where the program is"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

# Clients of a single broker come through the load balancer; in a cluster each broker is dialled by its own address.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each          = toset(local.has_network && (var.cluster || !local.on_aws) ? var.client_cidrs : [])
  security_group_id = aws_security_group.broker[0].id
  description       = "Clients"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each          = toset(local.has_network ? var.admin_cidrs : [])
  security_group_id = aws_security_group.broker[0].id
  description       = "Metrics and status"
  ip_protocol       = "tcp"
  from_port         = var.admin_port
  to_port           = var.admin_port
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
}

resource "aws_vpc_security_group_ingress_rule" "peers" {
  count                        = local.has_network && var.cluster ? 1 : 0
  security_group_id            = aws_security_group.broker[0].id
  description                  = "Brokers among themselves"
  ip_protocol                  = "tcp"
  from_port                    = var.peer_port
  to_port                      = var.peer_port
  referenced_security_group_id = aws_security_group.broker[0].id
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each                     = local.on_aws ? { clients = var.port, health = var.admin_port } : {}
  security_group_id            = aws_security_group.broker[0].id
  description                  = "The load balancer: ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.balancer[0].id
}

resource "aws_security_group" "balancer" {
  count       = local.on_aws ? 1 : 0
  name        = "${var.name}-balancer"
  description = "Load balancer before the brokers of Floe"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-balancer" })
}

resource "aws_vpc_security_group_ingress_rule" "balancer_clients" {
  for_each          = toset(local.on_aws ? var.client_cidrs : [])
  security_group_id = aws_security_group.balancer[0].id
  description       = "Clients"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each                     = local.on_aws ? { clients = var.port, health = var.admin_port } : {}
  security_group_id            = aws_security_group.balancer[0].id
  description                  = "Brokers: ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.broker[0].id
}

resource "aws_security_group" "etcd" {
  count       = local.has_etcd ? 1 : 0
  name        = "${var.name}-etcd"
  description = "etcd of Floe"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-etcd" })
}

resource "aws_vpc_security_group_egress_rule" "etcd" {
  count             = length(aws_security_group.etcd)
  security_group_id = aws_security_group.etcd[0].id
  description       = "Its own members, where the program is"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_ingress_rule" "etcd" {
  for_each = local.has_etcd ? {
    brokers = { port = 2379, from = aws_security_group.broker[0].id }
    members = { port = 2380, from = aws_security_group.etcd[0].id }
  } : {}
  security_group_id            = aws_security_group.etcd[0].id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = each.value.from
}
