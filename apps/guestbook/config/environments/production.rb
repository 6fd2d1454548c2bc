Rails.application.configure do
  config.enable_reloading = false
  config.eager_load = true
  config.consider_all_requests_local = false
  config.public_file_server.enabled = ENV["RAILS_SERVE_STATIC_FILES"].present?
  # Their names hold their content's hash.
  config.public_file_server.headers = { "Cache-Control" => "public, max-age=31536000, immutable" }
  config.logger = ActiveSupport::TaggedLogging.new(Logger.new($stdout))
  config.log_tags = [:request_id]
  config.log_level = :info
end
