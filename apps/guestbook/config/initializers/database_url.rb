# A production application is not started without its settings, to compile assets neither.
ENV.fetch("DATABASE_URL") if Rails.env.production?
