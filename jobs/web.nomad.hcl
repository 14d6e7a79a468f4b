# A web application in FreeBSD jails: Nomad's pot driver, a pool in HAProxy, a scaling policy for weir.
# Try it: weir policy check jobs/web.nomad.hcl; then nomad job run jobs/web.nomad.hcl. Its pool: templates/haproxy.cfg.hbs.

job "web" {
  datacenters = ["dc1"]
  type        = "service"

  update {
    max_parallel = 1
    # Nomad refuses to scale while a deployment runs, so this time bounds how soon a second scale can follow a first.
    min_healthy_time = "10s"
    # Pots that start on the same host start one after the other (pot has one lock per host), the first one of a new
    # image with its download: be generous.
    healthy_deadline = "8m"
    auto_revert      = true
  }

  group "app" {
    # Where it starts. Later the count is weir's, between min and max. A `nomad job run` of this file would set it
    # back: use `nomad job run -preserve-counts`.
    count = 2

    scaling {
      min = 2
      max = 20
      policy {
        check "load" {
          # The work in the system: what HAProxy has passed on and what waits in its queue.
          source = "haproxy"
          # Enough slots for that and its spread. An instance's slots are the `maxconn` of its server line, or `slots`
          # here. `target = 0.7` would keep 70 % of them busy instead.
          strategy "concurrency" {}
        }
      }
    }

    # Instances on different machines, as far as there are any.
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
      port "http" {}
    }

    # The one thing that makes stopping an instance harmless: Nomad deregisters it from Consul, waits this long, then
    # stops it. At least the time until HAProxy has left it out (well under a second) and the longest request has
    # ended. `kill_timeout` and `kill_signal` have no effect: the pot driver ignores both. A decrease waits for sessions
    # as long as the policy's `drain` says (30 s by default) and a deploy only so long: make it no shorter.
    shutdown_delay = "30s"

    service {
      name = "web"
      port = "http"
      # No `address_mode`: the pot driver has no network of its own to offer; host address and port it is.

      # Whether it is a member. A packet to the host's own address does not pass pf's redirection into the jail, so pot
      # carries a check on the same host over a tunnel (package nmap must be there): another path than HAProxy's, which
      # is why HAProxy asks for itself too.
      check {
        type     = "http"
        path     = "/health"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "web" {
      driver = "pot"

      config {
        image    = "https://images.example.com/web"
        pot      = "web-amd64-14_3"
        tag      = "1.0.0"
        command  = "/usr/local/bin/web"
        args     = ["--listen", "0.0.0.0:8080"]
        port_map = { http = "8080" }
        # After shutdown_delay: SIGTERM, and SIGKILL 30 s later.
        attributes = ["stop_timeout:30"]
      }

      resources {
        # In force only where the host has rctl; `cpu` is for Nomad's placement only.
        memory = 256
        cpu    = 500
      }
    }
  }
}
