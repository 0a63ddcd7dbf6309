"""The quickstart: the whole suite on one machine for a minute, judged by the API's own record."""
