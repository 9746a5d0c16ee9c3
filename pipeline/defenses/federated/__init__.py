"""Federated training: hospitals keep their records and send weights; a server averages them.

FedAvg (McMahan et al. 2017, arXiv:1602.05629) for a whole population at once. All M members travel
stacked as one array (M, P), so cross-validation costs one federated run. Who builds on it needs:

- `sites.hospitals_of(dataset, count, by)`: which hospital each record belongs to;
  `sites.sites_of(dataset, plan, hospitals)`: a `Site` each, all that a hospital knows: its own
  records, and which of them each member learns from. Another list of sites (flipped labels, other
  records) is another federation.
- `local.ordinary(training)` makes `local(parameters, site, number) -> Sent`: a pure function of the
  global weights, of one hospital's own records and of the round's number. An engine of other
  processes calls it with the one `Site` that it holds. `private.noisy_local` makes one under
  differential privacy.
- `aggregate.aggregated(name, tolerated)` makes `aggregate(exchange) -> (M, P)`, of the registry
  `AGGREGATES`: pure functions of updates (K, M, P) and records (K, M).
- `loop.federate(sites, start, rounds, local, aggregate, adversary=..., watch=...)`: the reference.
  An `Adversary` replaces what its hospitals send, and knows the whole `Exchange`; `watch` sees what
  the server sees. The order of the sites counts for nothing.
- `recipe.train_federated`: the recipe of all that; `recipe.federation_of` its parts, to run with an
  adversary or another engine.
- An update is the weights as a hospital would set them, float32, not a difference: what one
  hospital sends alone is what it trained, to the last bit.
"""
