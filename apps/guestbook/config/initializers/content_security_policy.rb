Rails.application.config.content_security_policy do |policy|
  policy.default_src :self
  policy.base_uri :none
  policy.form_action :self
  policy.frame_ancestors :none
  policy.object_src :none
end
