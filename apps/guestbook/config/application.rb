require_relative "boot"

require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"
require "propshaft"

module Guestbook
  class Application < Rails::Application
    config.load_defaults 7.2
    # A release is read-only and its database is not part of it.
    config.active_record.dump_schema_after_migration = false
    config.cache_store = :memory_store
    config.generators.system_tests = nil
  end
end
