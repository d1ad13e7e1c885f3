# The bucket. Nothing in it is ever overwritten by brokers, so it needs no versions: they would only keep what brokers delete.

resource "aws_s3_bucket" "log" {
  count         = var.create_bucket ? 1 : 0
  bucket        = var.bucket
  force_destroy = var.force_destroy
  tags          = local.on_s3 || var.bucket_protection ? local.tags : null
}

locals {
  protected = var.create_bucket && var.bucket_protection ? 1 : 0
}

resource "aws_s3_bucket_public_access_block" "log" {
  count                   = local.protected
  bucket                  = aws_s3_bucket.log[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "log" {
  count  = local.protected
  bucket = aws_s3_bucket.log[0].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# Nothing expires by age: brokers delete what retention lets go, and nobody else may.
resource "aws_s3_bucket_lifecycle_configuration" "log" {
  count  = local.protected
  bucket = aws_s3_bucket.log[0].id

  rule {
    id     = "end-abandoned-uploads"
    status = "Enabled"

    filter {
      prefix = ""
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # The provider waits until the rule has been read unchanged for most of a minute; three minutes, its default, were not always enough.
  timeouts {
    create = "10m"
    update = "10m"
  }
}

resource "aws_s3_bucket_policy" "tls_only" {
  count  = local.on_s3 ? local.protected : 0
  bucket = aws_s3_bucket.log[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # Both change who may do what with the bucket, and S3 refuses that at once.
  depends_on = [aws_s3_bucket_public_access_block.log]
}
