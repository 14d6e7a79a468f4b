# Valkey in FreeBSD jails: one primary with its data, and replicas for reading that weir scales.
# Try it: weir policy check jobs/valkey.nomad.hcl; then nomad job run jobs/valkey.nomad.hcl. Its pools: templates/valkey.cfg.hbs.

job "valkey" {
  datacenters = ["dc1"]
  type        = "service"

  update {
    max_parallel = 1
    # A replica is of use once it has copied everything.
    min_healthy_time = "20s"
    healthy_deadline = "8m"
  }

  # The data is here: one instance on one machine, never scaled and never moved by Nomad. Another machine becomes the
  # primary by a person's (or Sentinel's) decision, not because a scheduler saw a timeout.
  group "primary" {
    count = 1

    constraint {
      attribute = "${node.unique.name}"
      value     = "db1"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    network {
      port "valkey" {
        # Replicas and clients find it here whatever Consul says.
        static = 6379
      }
    }

    # Clients leave within this time, then it is stopped: the pot driver ignores `kill_timeout`.
    shutdown_delay = "10s"

    service {
      name = "valkey-primary"
      port = "valkey"
      check {
        type     = "tcp"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "valkey" {
      driver = "pot"
      config {
        image    = "https://images.example.com/valkey"
        pot      = "valkey-amd64-14_3"
        tag      = "8.0.0"
        command  = "/usr/local/bin/valkey-server"
        args     = ["/usr/local/etc/valkey.conf", "--dir", "/var/db/valkey", "--min-replicas-to-write", "1"]
        port_map = { valkey = "6379" }
        # A dataset of the host, outside of the pot: it outlives the jail.
        mount = ["/zroot/valkey:/var/db/valkey"]
        # SIGTERM makes it write what is not on the disk; 20 s for that, then SIGKILL.
        attributes = ["stop_timeout:20"]
      }
      resources {
        # In force only where the host has rctl: set `maxmemory` in valkey.conf as well.
        memory = 2048
        cpu    = 1000
      }
    }
  }

  group "replicas" {
    count = 2

    scaling {
      min = 2
      max = 6

      policy {
        # Connections stay for hours, so a new replica gets only new ones: add one early, take one away late.
        stabilization = "30m"
        # Clients with a pool of connections come back by themselves; nobody waits for hours.
        drain = "20s"

        check "connections" {
          source = "haproxy"
          # Connections for each replica that serves. (`cpu` of Nomad would be closer to the work, but the pot driver does
          # not measure it; with Prometheus and an exporter, ask that.)
          query = "concurrency_per_server"
          strategy "target-value" {
            target         = 200
            threshold      = 0.2
            max_scale_down = 1
          }
        }
      }
    }

    spread {
      attribute = "${node.unique.id}"
    }

    network {
      port "valkey" {}
    }

    # No shorter than `drain`.
    shutdown_delay = "20s"

    service {
      name = "valkey-replica"
      port = "valkey"
      check {
        type     = "tcp"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "valkey" {
      driver = "pot"
      config {
        image = "https://images.example.com/valkey"
        pot   = "valkey-amd64-14_3"
        tag   = "8.0.0"
        # By name: the primary is elsewhere, and the driver has no network of its own in which to find it.
        command    = "/usr/local/bin/valkey-server"
        args       = ["/usr/local/etc/valkey.conf", "--replicaof", "db1.example.com", "6379"]
        port_map   = { valkey = "6379" }
        attributes = ["stop_timeout:5"]
      }
      resources {
        memory = 2048
        cpu    = 500
      }
    }
  }
}
