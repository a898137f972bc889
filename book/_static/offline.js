// A page that is opened from the disk may not fetch another: the search shows no excerpts there, instead of failing.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
