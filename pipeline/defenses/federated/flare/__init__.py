"""Federated training by NVFlare: the same functions, each hospital in a process of its own.

`engine.federate_through` replaces `loop.federate`: a hospital's process runs our `local` on what
was handed to it (`handed`), the server's process our `aggregate` (`server`), and NVFlare carries
the weights between them. Sums are taken in the order of the hospitals, not of arrival, so on one
machine the result is that of our loop, bit for bit.
"""
