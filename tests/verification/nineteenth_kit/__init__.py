"""The nineteenth kit: wrong and right parts, written from the contracts and the built-in parts before any check was
read. Mistakes of authors who port code of another convention, refactor, vectorise, cache, or misread a formula."""
