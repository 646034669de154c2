"""Reading pages of the web without trusting it: guard, limits, text, and a browser.

`guard` decides where a connection may go, and `addresses` why not. `http_source` and
`browser_source` each read one page once; `fetcher` puts manners and patience around either
(`hosts`, `robots`), and `reader` lends it to the tools of any event loop. `extraction` takes the
text out of what came, in a process of its own that may be killed.
"""
