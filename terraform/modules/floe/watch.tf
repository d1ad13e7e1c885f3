# Logs and alarms on AWS. Alarms have no tags: not every emulator gives them back, and their names say whose they are.

resource "aws_cloudwatch_log_group" "broker" {
  count             = local.has_logs ? 1 : 0
  name              = "/floe/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_cloudwatch_log_metric_filter" "errors" {
  count          = local.has_logs ? 1 : 0
  name           = "${var.name}-errors"
  log_group_name = aws_cloudwatch_log_group.broker[0].name
  pattern        = "{ $.level = \"ERROR\" }"

  metric_transformation {
    name      = "Errors"
    namespace = "Floe/${var.name}"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  count               = local.has_logs ? 1 : 0
  alarm_name          = "${var.name}-errors"
  alarm_description   = "A broker of ${var.name} logged an error: the log group /floe/${var.name} has it."
  namespace           = "Floe/${var.name}"
  metric_name         = "Errors"
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "unready" {
  count               = local.on_aws ? 1 : 0
  alarm_name          = "${var.name}-unready"
  alarm_description   = "A broker of ${var.name} has not been ready for three minutes: its /readyz says why."
  namespace           = "AWS/NetworkELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = { LoadBalancer = aws_lb.broker[0].arn_suffix, TargetGroup = aws_lb_target_group.broker[0].arn_suffix }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 3
  # An empty group has no hosts, healthy or not.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "instances" {
  count               = local.on_aws ? 1 : 0
  alarm_name          = "${var.name}-instances"
  alarm_description   = "An instance of ${var.name} fails EC2's status checks; its group replaces it."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.broker[0].name }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
}

# Nothing replaces these: see the README.
resource "aws_cloudwatch_metric_alarm" "etcd" {
  count               = local.has_etcd ? 3 : 0
  alarm_name          = "${var.name}-etcd-${count.index}"
  alarm_description   = "Instance ${count.index} of etcd fails EC2's status checks; two of three are needed."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { InstanceId = aws_instance.etcd[count.index].id }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
}
