# The node beside which the reference pages are read: `shop.example`, with every door that a page shows, and a stand-in for the
# places elsewhere that the pages name.
