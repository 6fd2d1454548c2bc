//= link_tree ../images
//= link book.css
