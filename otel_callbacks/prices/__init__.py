"""What a model call costs: known prices, the user's own, and the sum.

``pricing`` answers for a call, ``known`` looks a model up among the prices of
genai-prices, ``file`` among the user's, ``rates`` does the sum.
"""
