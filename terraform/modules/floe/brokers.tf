# Brokers on AWS: a group of instances that may be empty, behind an internal load balancer.

data "aws_ssm_parameter" "image" {
  count = local.on_aws && (var.ami_id == null || local.has_etcd) ? 1 : 0
  name  = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"
}

locals {
  # The parameter is no secret, though its type says so.
  image = !local.on_aws ? null : var.ami_id != null ? var.ami_id : nonsensitive(data.aws_ssm_parameter.image[0].value)

  desired = var.manage_count ? var.brokers : null

  # A single broker is dialled where the load balancer is, in a cluster each at its own address.
  advertise_balancer = local.on_aws && !var.cluster ? "advertise = \"${aws_lb.broker[0].dns_name}:${var.port}\"\n" : ""

  user_data = !local.on_aws ? null : templatefile("${path.module}/templates/install.sh.tftpl", {
    binary_url          = var.binary_url
    binary_sha256       = var.binary_sha256
    cluster             = var.cluster
    files               = concat(local.files, [{ path = "/etc/floe/floe.toml", mode = "0644", text = "${local.config_file}${local.advertise_balancer}" }])
    place_from_instance = true
    advertise_own       = var.cluster
    port                = var.port
    running             = true
    unit                = local.unit
    check_at            = local.check_at
    log_group           = var.logs ? aws_cloudwatch_log_group.broker[0].name : ""
  })
}

resource "aws_launch_template" "broker" {
  count                  = local.on_aws ? 1 : 0
  name                   = "${var.name}-broker"
  image_id               = local.image
  instance_type          = var.instance_type
  update_default_version = true
  user_data              = base64encode(local.user_data)
  tags                   = local.tags

  iam_instance_profile {
    name = aws_iam_instance_profile.broker[0].name
  }
  network_interfaces {
    associate_public_ip_address = false
    security_groups             = [aws_security_group.broker[0].id]
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = var.volume_gib
      encrypted             = true
      delete_on_termination = true
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = merge(local.tags, { Name = "${var.name}-broker" })
  }
}

resource "aws_autoscaling_group" "broker" {
  count               = local.on_aws ? 1 : 0
  name                = "${var.name}-broker"
  min_size            = 0
  max_size            = local.brokers_max
  desired_capacity    = local.desired
  vpc_zone_identifier = var.subnet_ids
  target_group_arns   = [aws_lb_target_group.broker[0].arn]
  # Not the load balancer's view: a broker whose store is away for a while is not ready, and a new one would not be either.
  health_check_type = "EC2"
  # An apply ends when the group is as wanted, not when brokers are ready: alarms tell that.
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.broker[0].id
    version = aws_launch_template.broker[0].latest_version
  }
  dynamic "instance_refresh" {
    for_each = var.replace_instances ? [1] : []
    content {
      strategy = "Rolling"
      preferences {
        # A single broker ends before its successor starts: it drains, and the successor takes over what is in the bucket.
        min_healthy_percentage = var.cluster ? 66 : 0
      }
    }
  }
  dynamic "tag" {
    for_each = merge(local.tags, { Name = "${var.name}-broker" })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
}

resource "aws_lb" "broker" {
  count                            = local.on_aws ? 1 : 0
  name                             = var.name
  internal                         = true
  load_balancer_type               = "network"
  subnets                          = var.subnet_ids
  security_groups                  = [aws_security_group.balancer[0].id]
  enable_cross_zone_load_balancing = true
  tags                             = local.tags
}

resource "aws_lb_target_group" "broker" {
  count                = local.on_aws ? 1 : 0
  name                 = var.name
  port                 = var.port
  protocol             = "TCP"
  vpc_id               = var.vpc_id
  deregistration_delay = 30
  tags                 = local.tags

  health_check {
    protocol            = "HTTP"
    port                = tostring(var.admin_port)
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "broker" {
  count             = local.on_aws ? 1 : 0
  load_balancer_arn = aws_lb.broker[0].arn
  port              = var.port
  protocol          = "TCP"
  tags              = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.broker[0].arn
  }
}
