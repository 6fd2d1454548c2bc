# As `rails new` wrote it up to Rails 7.0; threads, workers and the address are said by who starts it.
environment ENV.fetch("RAILS_ENV") { "development" }
pidfile ENV.fetch("PIDFILE") { "tmp/pids/server.pid" }
plugin :tmp_restart
