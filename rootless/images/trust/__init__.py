"""Who vouches for an image: signatures beside it in its registry, and the policy that asks for them."""
