"""The offline web: facts, pages, search index and the site that serves them."""
