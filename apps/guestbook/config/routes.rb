Rails.application.routes.draw do
  root "entries#index"
  resources :entries, only: :create
  get "api/whoami", to: "identity#show"
  get "healthz", to: "identity#health"
end
