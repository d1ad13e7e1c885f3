# What it is called, and where it runs

variable "name" {
  description = "Begins the names of everything that is made, and is its tag `floe`."
  type        = string
  default     = "floe"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name))
    error_message = "name: 2 to 24 lower-case letters, digits and hyphens, beginning with a letter: load balancers allow no more."
  }
}

variable "platform" {
  description = "Where brokers run: `aws` (auto-scaling group), `machines` (given by address, set up over SSH), or `none` (bucket, policy and network only; brokers are started by other means, such as Kubernetes)."
  type        = string

  validation {
    condition     = contains(["aws", "machines", "none"], var.platform)
    error_message = "platform: aws, machines or none."
  }
}

variable "accept_no_security" {
  description = "Must be true where brokers run: Floe has neither encryption nor authentication of clients yet. Whoever reaches a broker's port can read, write and delete everything."
  type        = bool
  default     = false

  validation {
    condition     = var.accept_no_security || var.platform == "none"
    error_message = "accept_no_security: brokers have neither encryption nor authentication yet. Set it to true if everybody in client_cidrs may read, write and delete everything."
  }
}

variable "tags" {
  description = "Tags of everything on AWS that takes tags, but for alarms."
  type        = map(string)
  default     = {}
}

# The program

variable "binary_url" {
  description = "Where machines fetch the program: a URL of the `floe` binary for their architecture. Needed where brokers run."
  type        = string
  default     = null

  validation {
    condition     = var.binary_url == null ? var.platform == "none" : can(regex("^https?://[^'\\s]+$", var.binary_url))
    error_message = "binary_url: an http(s) URL of the floe binary. What it gives is compared with binary_sha256 before it is run."
  }
}

variable "binary_sha256" {
  description = "SHA-256 of the program in hex. A machine that gets anything else from `binary_url` does not start it."
  type        = string
  default     = null

  validation {
    condition     = var.binary_sha256 == null ? var.platform == "none" : can(regex("^[0-9a-f]{64}$", var.binary_sha256))
    error_message = "binary_sha256: 64 lower-case hex digits, as sha256sum prints them."
  }
}

# How many

variable "brokers" {
  description = "Brokers to run; 0 stops all of them, and everything they acknowledged is in the bucket. More than one needs `cluster`."
  type        = number
  default     = 1

  validation {
    condition     = var.brokers >= 0 && var.brokers <= 100 && floor(var.brokers) == var.brokers
    error_message = "brokers: a whole number from 0 to 100."
  }
  validation {
    condition     = var.brokers <= 1 || var.cluster
    error_message = "brokers: more than one need cluster = true; two single brokers on one store would depose each other."
  }
  validation {
    condition     = var.platform != "machines" || var.brokers <= length(var.machines)
    error_message = "brokers: there are fewer machines than that."
  }
}

variable "brokers_max" {
  description = "Most brokers that the auto-scaling group may be scaled to by others. Default: `brokers`, at least 1."
  type        = number
  default     = null

  validation {
    condition     = var.brokers_max == null ? true : var.brokers_max >= max(var.brokers, 1) && (var.cluster || var.brokers_max == 1)
    error_message = "brokers_max: at least brokers and at least 1; more than 1 needs cluster = true."
  }
}

variable "manage_count" {
  description = "Whether an apply sets the auto-scaling group to `brokers`. False leaves the number to whatever scales the group, also at creation (then it begins with none)."
  type        = bool
  default     = true
}

variable "broker_id" {
  description = "Node id that Kafka clients see: a number for a single broker; in a cluster `auto`, which keeps a broker's id with its data directory. A single broker with `auto` has 0."
  type        = string
  default     = "auto"

  validation {
    condition     = var.broker_id == "auto" || can(regex("^[0-9]{1,9}$", var.broker_id)) && !var.cluster
    error_message = "broker_id: auto, or for a single broker a number."
  }
}

# Several brokers

variable "cluster" {
  description = "Several brokers through etcd: leaders move between them, and records of `replicated` topics are on two machines before they are acknowledged. A machine asks its program for the options that this needs, and refuses to start one without."
  type        = bool
  default     = false
}

variable "etcd_endpoints" {
  description = "With `cluster`: URLs of an etcd that is there. Empty on `aws`: three small instances are made for it."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for url in var.etcd_endpoints : can(regex("^https?://[A-Za-z0-9.:-]+$", url))])
    error_message = "etcd_endpoints: each of the form http://host:2379."
  }
  validation {
    condition     = !var.cluster || var.platform != "machines" || length(var.etcd_endpoints) > 0
    error_message = "etcd_endpoints: a cluster on machines needs an etcd that is there."
  }
  validation {
    condition     = var.cluster || length(var.etcd_endpoints) == 0
    error_message = "etcd_endpoints: a single broker needs no etcd; set cluster = true."
  }
}

variable "etcd_url" {
  description = "With `cluster` on `aws` and no `etcd_endpoints`: where the three instances fetch etcd, a .tar.gz of a release (3.5 or newer)."
  type        = string
  default     = null

  validation {
    condition     = var.etcd_url == null ? !(var.cluster && var.platform == "aws" && length(var.etcd_endpoints) == 0) : can(regex("^https?://[^'\\s]+$", var.etcd_url))
    error_message = "etcd_url: an http(s) URL of etcd's release archive; needed where instances for etcd are made."
  }
}

variable "etcd_sha256" {
  description = "SHA-256 of what `etcd_url` gives, in hex."
  type        = string
  default     = null

  validation {
    condition     = var.etcd_sha256 == null ? var.etcd_url == null : can(regex("^[0-9a-f]{64}$", var.etcd_sha256))
    error_message = "etcd_sha256: 64 lower-case hex digits; goes with etcd_url."
  }
}

variable "etcd_instance_type" {
  description = "Type of the three instances for etcd, of the brokers' `architecture`."
  type        = string
  default     = "t4g.micro"
}

variable "peer_port" {
  description = "With `cluster`: port of the listener between brokers. Its security group admits brokers only."
  type        = number
  default     = 9095

  validation {
    condition     = var.peer_port >= 1024 && var.peer_port <= 65535 && var.peer_port != var.port && var.peer_port != var.admin_port
    error_message = "peer_port: from 1024 to 65535, and neither port nor admin_port."
  }
}

# The store

variable "bucket" {
  description = "Bucket that holds the log."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}

variable "create_bucket" {
  description = "Whether the bucket is made here. False: it is there."
  type        = bool
  default     = true
}

variable "store_prefix" {
  description = "Where in the bucket the log lies; brokers may touch nothing else."
  type        = string
  default     = "floe"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$", var.store_prefix))
    error_message = "store_prefix: names of letters, digits, '.', '_' and '-', separated by single slashes."
  }
}

variable "store_endpoint" {
  description = "URL of an S3-compatible store (MinIO, SeaweedFS). Default: S3 of the provider's region."
  type        = string
  default     = null

  validation {
    condition     = var.store_endpoint == null ? true : can(regex("^https?://[A-Za-z0-9.-]+(:[0-9]+)?$", var.store_endpoint))
    error_message = "store_endpoint: of the form http(s)://host[:port]."
  }
}

variable "store_region" {
  description = "Region that requests to the store are signed for. Default: the provider's for S3, us-east-1 for `store_endpoint`."
  type        = string
  default     = null
}

variable "store_access_key_id" {
  description = "On `machines`: access key for the store. Default: where the AWS tools look on the machine."
  type        = string
  default     = null

  validation {
    condition     = var.store_access_key_id == null ? true : var.platform == "machines" && can(regex("^[!-~]+$", var.store_access_key_id))
    error_message = "store_access_key_id: for platform machines only (instances on AWS have a role); printable ASCII without blanks."
  }
}

variable "store_secret_access_key" {
  description = "On `machines`: secret of the access key. It is written to a file on each machine that only its superuser reads, and is in no state."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = (var.store_secret_access_key == null) == (var.store_access_key_id == null)
    error_message = "store_secret_access_key: goes with store_access_key_id."
  }
  validation {
    condition     = var.store_secret_access_key == null ? true : can(regex("^[A-Za-z0-9+/=._-]+$", var.store_secret_access_key))
    error_message = "store_secret_access_key: letters, digits and + / = . _ - only."
  }
}

variable "bucket_protection" {
  description = "Default encryption, public access block and the rule that ends abandoned uploads, for the bucket that is made. False for stores that refuse them (MinIO, SeaweedFS)."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "KMS key of the bucket's default encryption. Default: S3's own keys (AES256)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn: the ARN of a key (not of an alias)."
  }
}

variable "force_destroy" {
  description = "Whether a destroy deletes a bucket that still holds the log. Nothing brings it back."
  type        = bool
  default     = false
}

variable "iam" {
  description = "Whether the policy for brokers is made, and on AWS their role. Default: where the store is S3."
  type        = bool
  default     = null

  validation {
    condition     = var.iam == null ? true : var.iam || var.platform != "aws"
    error_message = "iam: instances on AWS need their role."
  }
}

# Settings of brokers

variable "settings" {
  description = "Further settings of brokers by key, as `floe serve --dump-config` shows them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.settings) : can(regex("^[a-z0-9]+(\\.[a-z0-9]+)*$", key))])
    error_message = "settings: keys are lower-case words separated by dots."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["store", "data", "listen", "advertise", "admin", "insecure", "broker.id", "log.format", "floe.idle.exit.ms", "s3.endpoint", "s3.region", "s3.access.key.id", "s3.secret.access.key"])) == 0
    error_message = "settings: store, data, listen, advertise, admin, insecure, broker.id, log.format, floe.idle.exit.ms and s3.* come from the module's own variables."
  }
}

variable "idle_exit" {
  description = "On `machines`, single broker: it drains and ends after this time without clients (such as `15m`); systemd keeps its ports, and the next connection starts it again."
  type        = string
  default     = null

  validation {
    condition     = var.idle_exit == null ? true : can(regex("^[1-9][0-9]*(s|m|h)$", var.idle_exit)) && var.platform == "machines" && !var.cluster
    error_message = "idle_exit: a duration such as 15m; for a single broker on platform machines only, where systemd's sockets wake it."
  }
}

variable "port" {
  description = "Port of the Kafka listener."
  type        = number
  default     = 9092

  validation {
    condition     = var.port >= 1024 && var.port <= 65535 && var.port != var.admin_port
    error_message = "port: from 1024 to 65535, and not admin_port."
  }
}

variable "admin_port" {
  description = "Port of `/metrics`, `/healthz`, `/readyz` and `/status`."
  type        = number
  default     = 9644

  validation {
    condition     = var.admin_port >= 1024 && var.admin_port <= 65535
    error_message = "admin_port: from 1024 to 65535."
  }
}

variable "listen_address" {
  description = "Address that brokers bind, on all machines alike."
  type        = string
  default     = "0.0.0.0"

  validation {
    condition     = can(cidrhost("${var.listen_address}/32", 0))
    error_message = "listen_address: an IPv4 address."
  }
}

# On AWS

variable "vpc_id" {
  description = "The VPC; needed on `aws` and with `network`."
  type        = string
  default     = null

  validation {
    condition     = var.vpc_id == null ? var.platform != "aws" && !var.network : can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id: vpc-…; needed on platform aws and with network."
  }
}

variable "network" {
  description = "On `none`: whether the security group of brokers and the endpoint of S3 are made in `vpc_id`. On `aws` they always are."
  type        = bool
  default     = false

  validation {
    condition     = !var.network || var.platform != "machines"
    error_message = "network: on platform aws it is made anyway, on machines there is none to make."
  }
}

variable "subnet_ids" {
  description = "On `aws`: private subnets for brokers, load balancer and etcd, one in each zone. A cluster needs three for etcd to outlive a zone."
  type        = list(string)
  default     = []

  validation {
    condition     = var.platform != "aws" || length(var.subnet_ids) > 0
    error_message = "subnet_ids: at least one private subnet on platform aws."
  }
}

variable "route_table_ids" {
  description = "Route tables of those subnets: they get the gateway endpoint of S3, so that the log's traffic needs no NAT. Empty: there is one already."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.route_table_ids) == 0 || var.network || var.platform == "aws"
    error_message = "route_table_ids: for platform aws, or with network."
  }
}

variable "client_cidrs" {
  description = "Private address ranges that clients connect from."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for cidr in var.client_cidrs : can(cidrhost(cidr, 0)) && alltrue([
        for address in try([cidrhost(cidr, 0), cidrhost(cidr, -1)], [""]) :
        can(regex("^(10\\.|127\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|f[cd][0-9a-f]{2}:)", address))
      ])
    ])
    error_message = "client_cidrs: private ranges only (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7): brokers have no authentication yet."
  }
}

variable "admin_cidrs" {
  description = "Address ranges that may read brokers' metrics and status, such as Prometheus'. The load balancer always may."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "admin_cidrs: address ranges such as 10.0.0.0/16, not all addresses."
  }
}

variable "architecture" {
  description = "Of the binary and the instance types: `arm64` or `x86_64`."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture: arm64 or x86_64."
  }
}

variable "instance_type" {
  description = "Type of brokers' instances."
  type        = string
  default     = "t4g.small"
}

variable "replace_instances" {
  description = "Whether an apply that changes what instances are given replaces those that run. False: only new ones get it."
  type        = bool
  default     = true
}

variable "ami_id" {
  description = "Image with systemd, curl and cloud-init, whose root device is /dev/xvda. Default: the newest Amazon Linux 2023 when Terraform runs."
  type        = string
  default     = null

  validation {
    condition     = var.ami_id == null ? true : can(regex("^ami-[0-9a-f]+$", var.ami_id))
    error_message = "ami_id: ami-…"
  }
}

variable "volume_gib" {
  description = "Size of a broker's encrypted disk; it holds the system and the WAL."
  type        = number
  default     = 12

  validation {
    condition     = var.volume_gib >= 8 && var.volume_gib <= 16384
    error_message = "volume_gib: from 8 to 16384."
  }
}

variable "logs" {
  description = "Whether brokers' logs go to a CloudWatch log group, with an alarm on errors. On `aws`; with `network` the group is made."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps them."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days: one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms are sent to. The alarms are made in any case."
  type        = list(string)
  default     = []
}

# Machines given by address

variable "machines" {
  description = "On `machines`: by name, where a machine is reached by SSH (`host`, `ssh_port`, `user`, who must be root or may sudo without a password), what clients dial (`advertise`, default `host`), and its `rack` (default: its name). The first `brokers` by name run one."
  type = map(object({
    host      = string
    ssh_port  = optional(number, 22)
    user      = optional(string, "root")
    advertise = optional(string)
    rack      = optional(string)
  }))
  default = {}

  validation {
    condition     = (var.platform == "machines") == (length(var.machines) > 0)
    error_message = "machines: at least one on platform machines, none elsewhere."
  }
  validation {
    condition     = alltrue([for machine in values(var.machines) : can(regex("^[A-Za-z0-9.:_-]+$", "${machine.host}${coalesce(machine.advertise, machine.host)}")) && can(regex("^[A-Za-z0-9._-]+$", coalesce(machine.rack, "none")))])
    error_message = "machines: host, advertise and rack are names or addresses."
  }
}

variable "ssh_private_key_file" {
  description = "File with the key for the machines. Default: the SSH agent's."
  type        = string
  default     = null
}
