class ApplicationController < ActionController::Base
  # Which host and which release answers: shown on each page, because that is what the demo is about.
  IDENTITY = {
    app: ENV.fetch("APP_NAME", "guestbook"),
    release: ENV.fetch("APP_RELEASE", "development"),
    host: Socket.gethostname
  }.freeze

  helper_method def identity = IDENTITY
end
