"""Who signs and who is believed: keys, certificates, identities, and the bundles that they write."""
