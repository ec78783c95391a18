using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>A kind of pruning, as policy files have it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Create">Makes the pruning of the numbers given, which are in their ranges.</param>
/// <param name="TakesK">Whether a number k may stand beside it.</param>
internal sealed record PruningKind(string Name, Func<PruningParameters, VocabularyPruning> Create, bool TakesK = true)
{
    /// <summary>Reads the pruning that the fields of an object are.</summary>
    /// <exception cref="InvalidDataException">The kind is unknown, or a number is outside its range.</exception>
    public static VocabularyPruning Read(JsonFields fields)
    {
        string name = fields.Has("kind") ? fields.GetString("kind") : NoPruning.Kind.Name;
        PruningParameters parameters = PruningParameters.Read(fields);
        if (VocabularyPruning.Kinds.FirstOrDefault(one => one.Name == name) is not { } kind)
            throw fields.Refuse("kind", $"it must be {FieldChoice.Alternatives([.. VocabularyPruning.Kinds.Select(one => one.Name)])}");
        if (!kind.TakesK && parameters.K is not null)
            throw fields.Refuse("k", $"a {name} pruning follows kMax and kMin; leave k out");
        return kind.Create(parameters);
    }
}
