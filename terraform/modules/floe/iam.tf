# What brokers may do: exactly the calls that they make (tests/deploy/terraform/policy.py records them), on their part of the bucket.

data "aws_partition" "here" {
  count = local.on_s3 || local.has_iam ? 1 : 0
}

data "aws_region" "here" {
  count = local.on_s3 || local.has_network ? 1 : 0
}

locals {
  actions    = jsondecode(file("${path.module}/broker-actions.json"))
  partition  = local.on_s3 || local.has_iam ? data.aws_partition.here[0].partition : "aws"
  bucket_arn = "arn:${local.partition}:s3:::${var.bucket}"

  policy = {
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = local.actions.objects
        Resource = "${local.bucket_arn}/${var.store_prefix}/*"
      },
      {
        # Of the whole bucket: with a condition on the prefix S3 answers 403 in place of 404 for an object that is not there.
        Sid      = "Listing"
        Effect   = "Allow"
        Action   = local.actions.bucket
        Resource = local.bucket_arn
      }],
      [for arn in var.kms_key_arn == null ? [] : [var.kms_key_arn] : {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = arn
      }],
    )
  }
}

resource "aws_iam_policy" "broker" {
  count       = local.has_iam ? 1 : 0
  name        = "${var.name}-broker"
  description = "What Floe's brokers do with their bucket"
  policy      = jsonencode(local.policy)
  tags        = local.tags
}

resource "aws_iam_role" "broker" {
  count = local.has_iam && local.has_network ? 1 : 0
  name  = "${var.name}-broker"
  tags  = local.tags
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.${local.dns_suffix}" } }]
  })
}

locals {
  dns_suffix = local.has_iam ? data.aws_partition.here[0].dns_suffix : ""
}

resource "aws_iam_role_policy_attachment" "broker" {
  count      = length(aws_iam_role.broker)
  role       = aws_iam_role.broker[0].name
  policy_arn = aws_iam_policy.broker[0].arn
}

# The agent's, not the broker's.
resource "aws_iam_role_policy" "logs" {
  count = local.has_logs ? length(aws_iam_role.broker) : 0
  name  = "logs"
  role  = aws_iam_role.broker[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.broker[0].arn}:*"
    }]
  })
}

resource "aws_iam_instance_profile" "broker" {
  count = length(aws_iam_role.broker)
  name  = "${var.name}-broker"
  role  = aws_iam_role.broker[0].name
  tags  = local.tags
}
