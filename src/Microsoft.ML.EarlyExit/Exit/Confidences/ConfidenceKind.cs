using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>A kind of measure, as policy files have it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Parameters">The field that holds what else it is given; null where it is given nothing.</param>
/// <param name="Create">Makes the measure of the field's value, null where the field is not there; may refuse that.</param>
internal sealed record ConfidenceKind(string Name, ConfidenceParameters? Parameters, Func<JsonFields, object?, Confidence> Create)
{
    /// <summary>Reads the measure that the fields of an object, a policy among others, say; the softmax margin where they say none.</summary>
    /// <exception cref="InvalidDataException">The measure is unknown, or is given what it does not take.</exception>
    public static Confidence Read(JsonFields fields)
    {
        // A value that is not the default's belongs to a measure that takes it.
        ConfidenceParameters[] all = [.. Confidence.Kinds.Select(kind => kind.Parameters).OfType<ConfidenceParameters>().Distinct()];
        var values = new Dictionary<ConfidenceParameters, object>();
        foreach (ConfidenceParameters parameters in all.Reverse())
        {
            if (fields.Has(parameters.Field))
                values.Add(parameters, fields.Set(new object(), parameters.Field, _ => fields.GetObject(parameters.Field, parameters.Read)));
        }

        Confidence confidence = fields.Set(Confidence.SoftmaxMargin, "confidence", _ => Choose(fields, values));
        foreach (ConfidenceParameters parameters in all)
        {
            string[] takers = [.. Confidence.Kinds.Where(kind => kind.Parameters == parameters).Select(kind => kind.Name)];
            if (!takers.Contains(confidence.Name) && values.TryGetValue(parameters, out object? value) && !value.Equals(parameters.Default))
                throw fields.Refuse(parameters.Field, $"it needs confidence {FieldChoice.Alternatives(takers)}, not {confidence.Name}");
        }

        return confidence;
    }

    private static Confidence Choose(JsonFields fields, Dictionary<ConfidenceParameters, object> values)
    {
        string name = fields.GetString("confidence");
        if (Confidence.Kinds.FirstOrDefault(one => one.Name == name) is { } kind)
            return kind.Create(fields, kind.Parameters is null ? null : values.GetValueOrDefault(kind.Parameters));
        string names = FieldChoice.Alternatives([.. Confidence.Kinds.Select(one => one.Name)]);
        return RegisteredConfidences.Find(name)
            ?? throw fields.Refuse("confidence", $"it must be {names}, or one that the program has registered with Confidence.Register");
    }
}
