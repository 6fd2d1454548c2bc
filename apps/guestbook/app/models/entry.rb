# One visitor's lines in the book.
class Entry < ApplicationRecord
  PAGE = 12

  normalizes :name, :origin, :words, with: ->(text) { text.squish }
  validates :name, :origin, presence: true, length: { maximum: 60 }
  validates :words, presence: true, length: { maximum: 280 }

  scope :newest, -> { order(created_at: :desc, id: :desc).limit(PAGE) }
end
