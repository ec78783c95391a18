using System.CommandLine;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>The common fields of a policy as flags, each of which wins over the file.</summary>
internal sealed class PolicyFlags
{
    private const string Confidence = "confidence";
    private const string Pruning = "pruning";

    private readonly Option<int?> _minimumLayer = NumberOption.CreateWhole(
        "--minimum-layer", "The first layer a token may exit after, counted from 1.", 1, int.MaxValue);
    private readonly Option<float?> _threshold = NumberOption.CreateReal(
        "--threshold", "A token whose confidence is above it exits early; at 1 none does. 0.9 by default.", "from 0 to 1", value => value is >= 0 and <= 1);

    private readonly Option<string?> _confidence = Choice.CreateOption(
        "--confidence", "What is compared with the threshold", names: [.. EarlyExit.Confidence.Kinds.Select(kind => kind.Name)]);

    private readonly Option<string?> _pruning = Choice.CreateOption(
        "--pruning", "How many tokens stay alive from layer to layer", names: [.. VocabularyPruning.Kinds.Select(kind => kind.Name)]);

    /// <summary>The flags.</summary>
    public Option[] All => [_minimumLayer, _threshold, _confidence, _pruning];

    /// <summary>The policy with what the flags say, or without any where none is given.</summary>
    /// <exception cref="WrongUsageException">It needs more than flags can say.</exception>
    public ExitPolicy? Apply(ParseResult parsed, ExitPolicy? policy)
    {
        string[] flags = GivenFlags.Of(parsed, All);
        if (flags.Length == 0)
            return policy;

        // In the form of files, which keeps what the flags do not mention.
        JsonObject fields = policy is null ? [] : JsonNode.Parse(ExitPolicyJson.Write(policy))!.AsObject();
        if (parsed.GetValue(_minimumLayer) is { } minimumLayer)
            fields["minimumLayer"] = minimumLayer;
        if (parsed.GetValue(_threshold) is { } threshold)
        {
            fields["threshold"] = threshold;
            fields.Remove("thresholds");
        }

        if (parsed.GetValue(_confidence) is { } confidence)
        {
            fields[Confidence] = confidence;
            ConfidenceParameters? taken = EarlyExit.Confidence.Kinds.Single(one => one.Name == confidence).Parameters;
            foreach (ConfidenceKind other in EarlyExit.Confidence.Kinds)
            {
                if (other.Parameters is { } parameters && parameters != taken)
                    fields.Remove(parameters.Field);
            }
        }

        if (parsed.GetValue(_pruning) is { } kind)
        {
            JsonObject pruning = fields[Pruning]?.AsObject() ?? [];
            pruning["kind"] = kind;
            if (!VocabularyPruning.Kinds.Single(one => one.Name == kind).TakesK)
                pruning.Remove("k");
            fields[Pruning] = pruning;
        }

        try
        {
            return ExitPolicyJson.Parse(fields.ToJsonString(), string.Join(' ', flags));
        }
        catch (InvalidDataException exception)
        {
            throw new WrongUsageException(exception.Message, exception);
        }
    }
}
