class CreateEntries < ActiveRecord::Migration[7.2]
  def change
    create_table :entries do |t|
      t.string :name, null: false, limit: 60
      t.string :origin, null: false, limit: 60
      t.string :words, null: false, limit: 280
      t.timestamps
    end
    add_index :entries, :created_at

    # The first page of the book, so that nobody has to be the first to sign.
    up_only do
      say_with_time "sign for those who came before" do
        [["Maud of the Mill", "Lower Ford", "Came for flour, stayed for the view from the wall walk."],
         ["Brother Anselm", "St. Osyth's", "The bell was answered before it had stopped ringing."],
         ["Wat the carter", "the coast road", "Wide gate, fair price, clean trough. My horse agrees."]].each do |row|
          values = row.map { |word| connection.quote(word) }.join(", ")
          execute "INSERT INTO entries (name, origin, words, created_at, updated_at) " \
                  "VALUES (#{values}, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
        end
      end
    end
  end
end
