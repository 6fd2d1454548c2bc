class EntriesController < ApplicationController
  def index
    @entry = Entry.new
    show_book
  end

  def create
    @entry = Entry.new(params.require(:entry).permit(:name, :origin, :words))
    return redirect_to root_path, notice: "Thank you, #{@entry.name}. The ink is still wet." if @entry.save

    show_book
    render :index, status: :unprocessable_entity
  end

  private

  def show_book
    @entries = Entry.newest
    @count = Entry.count
  end
end
