"""The report: a page that shows what was learned, and what has changed. `page.report` makes it."""
