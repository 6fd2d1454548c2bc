# What machines ask: who answers, and whether all is well.
class IdentityController < ApplicationController
  LONGEST_WAIT = 5_000

  before_action { response.headers["Cache-Control"] = "no-store" }

  # `?wait=3000` answers after three seconds, so that a request can be under way while the unit stops.
  def show
    sleep(params[:wait].to_i.clamp(0, LONGEST_WAIT) / 1000.0)
    render json: identity
  end

  def health
    render plain: "ok\n"
  end
end
