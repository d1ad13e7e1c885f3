# Machines given by address: one script each, copied over SSH, run as root.

locals {
  machine_names = sort(keys(var.machines))
  # Those that run a broker: the first by name.
  running = slice(local.machine_names, 0, min(var.brokers, length(local.machine_names)))

  credentials = var.store_access_key_id == null ? [] : [{
    path = "/etc/floe/credentials"
    mode = "0600"
    text = "AWS_ACCESS_KEY_ID=${var.store_access_key_id}\nAWS_SECRET_ACCESS_KEY=${var.store_secret_access_key}\n"
  }]

  scripts = {
    for name, machine in var.machines : name => templatefile("${path.module}/templates/install.sh.tftpl", {
      binary_url    = var.binary_url
      binary_sha256 = var.binary_sha256
      cluster       = var.cluster
      files = concat(local.files, local.credentials, [
        { path = "/etc/floe/floe.toml", mode = "0644", text = "${local.config_file}advertise = \"${local.advertise[name]}\"\n" },
        { path = "/etc/floe/place", mode = "0644", text = "RACK=${coalesce(machine.rack, name)}\nADDRESS=${machine.host}\n" },
      ])
      place_from_instance = false
      advertise_own       = false
      port                = var.port
      running             = contains(local.running, name)
      unit                = local.unit
      check_at            = local.check_at
      log_group           = ""
    })
  }
  advertise = { for name, machine in var.machines : name => "${coalesce(machine.advertise, machine.host)}:${var.port}" }
}

# A machine from its first installation to its removal; it changes with its address only.
resource "terraform_data" "machine" {
  for_each         = local.on_machines ? var.machines : {}
  triggers_replace = [each.value.host, each.value.ssh_port]
  input = {
    host     = each.value.host
    port     = each.value.ssh_port
    user     = each.value.user
    key_file = var.ssh_private_key_file
  }

  # Drains the broker; then everything it acknowledged is in the bucket, and its data directory may go.
  provisioner "remote-exec" {
    when = destroy
    inline = [
      <<-E
      set -eu
      root=; [ "$(id -u)" = 0 ] || root="sudo -n"
      if [ -e /etc/systemd/system/floe.socket ]; then $root systemctl disable --now floe.socket; fi
      if [ -e /etc/systemd/system/floe.service ]; then $root systemctl disable --now floe.service; fi
      $root rm -f /etc/systemd/system/floe.service /etc/systemd/system/floe.socket /etc/floe/floe.toml /etc/floe/place /etc/floe/credentials /usr/local/bin/floe
      $root systemctl daemon-reload
      E
    ]
    connection {
      host        = self.output.host
      port        = self.output.port
      user        = self.output.user
      private_key = self.output.key_file == null ? null : file(self.output.key_file)
      timeout     = "2m"
    }
  }
}

# Runs again whenever what is installed would be another, secrets included; the state holds its hash only.
resource "terraform_data" "installed" {
  for_each         = local.on_machines ? var.machines : {}
  triggers_replace = [terraform_data.machine[each.key].id, nonsensitive(sha256(local.scripts[each.key]))]

  connection {
    host        = each.value.host
    port        = each.value.ssh_port
    user        = each.value.user
    private_key = var.ssh_private_key_file == null ? null : file(var.ssh_private_key_file)
    timeout     = "2m"
  }
  # A folder that only this user reads: the script has the store's keys in it.
  provisioner "remote-exec" {
    inline = ["mkdir -p -m 0700 .floe-install && chmod 0700 .floe-install"]
  }
  provisioner "file" {
    content     = local.scripts[each.key]
    destination = ".floe-install/install.sh"
  }
  provisioner "remote-exec" {
    inline = [
      <<-E
      root=; [ "$(id -u)" = 0 ] || root="sudo -n"
      $root sh .floe-install/install.sh; code=$?
      rm -rf .floe-install
      exit $code
      E
    ]
  }

  # A broker needs its bucket.
  depends_on = [aws_s3_bucket.log]
}
