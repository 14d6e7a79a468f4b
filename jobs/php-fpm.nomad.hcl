# PHP-FPM in FreeBSD jails: Nomad's pot driver, a FastCGI pool in HAProxy, a scaling policy for weir.
# Try it: weir policy check jobs/php-fpm.nomad.hcl; then nomad job run jobs/php-fpm.nomad.hcl. Its pool: templates/php-fpm.cfg.hbs.

job "app-php" {
  datacenters = ["dc1"]
  type        = "service"

  update {
    max_parallel     = 1
    min_healthy_time = "10s"
    # Pots that start on one host do so one after the other, the first one of a new image with its download.
    healthy_deadline = "8m"
    auto_revert      = true
  }

  group "fpm" {
    # Where it starts; later the count is weir's. A `nomad job run` would set it back: use `-preserve-counts`.
    count = 2

    scaling {
      min = 2
      max = 8

      policy {
        # What one instance can do at once: pm.max_children of the pool (static), less one for each load balancer's health
        # check, which takes a child too. Where both load balancers take requests, the server lines give each its half.
        slots = 14

        # Each child holds one connection to the database, which takes 150 and keeps 10 for people: 140 / 16 = 8
        # instances, whatever the load. More of them would turn a busy site into one without a database.
        max_by = { per_instance = 16, budget = 140 }

        # At least `request_terminate_timeout` of the pool.
        drain = "30s"

        check "load" {
          source = "haproxy"
          strategy "concurrency" {}
        }
      }
    }

    spread {
      attribute = "${node.unique.id}"
    }

    restart {
      attempts = 2
      interval = "5m"
      delay    = "15s"
      mode     = "fail"
    }

    network {
      port "fcgi" {}
      port "status" {}
    }

    # The grace of a stop: Nomad deregisters the instance, waits this long, then has it destroyed. The pot driver ignores
    # `kill_timeout` and `kill_signal`. No shorter than `drain` above, or a deploy cuts what a decrease would not.
    shutdown_delay = "30s"

    service {
      name = "app-php"
      port = "fcgi"

      # For people and exporters: the page of `pm.status_listen`, which answers while every child is busy.
      meta {
        status_port = "${NOMAD_HOST_PORT_status}"
      }

      # That something listens, no more: FPM accepts connections while all its children hang. Whether the application
      # works, HAProxy finds out by its own check of /health.php over FastCGI. On the same host this check reaches the jail
      # through pot's tunnel (package nmap must be there), another path than HAProxy's.
      check {
        type     = "tcp"
        port     = "fcgi"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "fpm" {
      driver = "pot"

      config {
        image    = "https://images.example.com/app-php"
        pot      = "app-php-amd64-14_3"
        tag      = "1.0.0"
        command  = "/usr/local/sbin/php-fpm"
        args     = ["--nodaemonize"]
        port_map = { fcgi = "9000", status = "9001" }
        # The code comes from the host, read-only; a new version of it is a new path, so that a deploy is one.
        mount_read_only = ["/srv/app/1.0.0:/usr/local/www/app"]
        # After shutdown_delay: SIGTERM, which FPM takes as "end at once", and SIGKILL 10 s later. Whoever is still at work
        # then was given up by shutdown_delay already.
        attributes = ["stop_timeout:10"]
      }

      resources {
        # 16 children of 40 MB and some. In force only where the host has rctl; `cpu` is for Nomad's placement only.
        memory = 768
        cpu    = 2000
      }
    }
  }
}
