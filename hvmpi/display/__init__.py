"""The event display: one event of an AOD as a picture, as a page and for Phoenix."""
