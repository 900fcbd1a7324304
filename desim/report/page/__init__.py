"""The report as one HTML file: what a run did, in pictures with a table behind each.

Theory of operation
-------------------
Each picture has a module: it gathers rows from what a run has left (``desim.experiment.ran``), and
draws them as SVG. Gathering and drawing are functions of their own, so that a table, a text or a
test has the same rows. ``figure`` says what a picture consists of, ``svg`` writes elements,
``scale`` places instants, ``places`` has the colours, ``page`` puts everything into the template.

Three rules hold everywhere:

* Nothing from elsewhere is markup. Names, commands and what programs wrote are escaped where an
  element is made (``markupsafe``). If that ever failed, the page's policy would still hold: a
  browser runs only the one script and the one style whose hashes stand in the file, and asks
  nobody for anything.
* Numbers are whole. Coordinates are ratios of integers, written as decimals without a float in
  between, so the same run makes the same bytes on every Python and machine.
* Colours are places (Okabe and Ito's, which colour-blind people can tell apart); grey and hatched
  is waiting, and nothing else is.
"""
