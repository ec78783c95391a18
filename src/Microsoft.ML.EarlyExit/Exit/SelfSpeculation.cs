using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Lossless self-speculation (as LayerSkip, Elhoushi et al., 2024, has it for decoders): tokens that the rest of the policy lets exit early are drafts, and the
/// deeper blocks verify several drafts in one run. The output is that of full depth: the longest run of drafts that equal the deep choices stays, and the first
/// deep choice that differs takes the place of its draft. Immutable.
/// </summary>
/// <remarks>
/// Drafts are verified when there are <see cref="DraftTokens"/> of them, when a confidence is too low for an exit, and when a draft would end the row. Keys and
/// values of drafts come from real deep states, so <see cref="ExitPolicy.StatePropagation"/> has no meaning beside it. Options that change logits apply to
/// drafts and deep choices alike.
/// </remarks>
public sealed record SelfSpeculation
{
    internal const int MostDraftTokens = 32;

    private readonly int? _draftTokens;

    /// <summary>How many tokens are drafted before they are verified, 1 to 32.</summary>
    /// <value>The default value is null: as many as the row's acceptance rate so far makes worth while.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int? DraftTokens
    {
        get => _draftTokens;
        init => _draftTokens = value is null or (>= 1 and <= MostDraftTokens)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(DraftTokens), value, $"DraftTokens must be from 1 to {MostDraftTokens}.");
    }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);

    /// <summary>
    /// The number of drafts n, at most <see cref="MostDraftTokens"/>, for which most tokens are gained for the work: with a share a of drafts accepted, n
    /// drafts give <c>(1 - a^(n+1)) / (1 - a)</c> tokens on average, for n shallow runs of cost c of a deep one, and one deep run.
    /// </summary>
    /// <param name="accepted">Drafts of the row that were accepted so far.</param>
    /// <param name="drafted">Drafts of the row that were verified so far.</param>
    /// <param name="shallowCost">c, in (0, 1].</param>
    internal static int BestDraftTokens(int accepted, int drafted, double shallowCost)
    {
        // As if five drafts of six had been accepted before the first.
        double rate = (accepted + 5.0) / (drafted + 6.0);
        int best = 1;
        double bestGain = 0;
        double tokens = 1;
        double power = 1;
        for (int count = 1; count <= MostDraftTokens; count++)
        {
            power *= rate;
            tokens += power;
            double gain = tokens / ((count * shallowCost) + 1);
            if (gain > bestGain)
                (best, bestGain) = (count, gain);
        }

        return best;
    }
}
