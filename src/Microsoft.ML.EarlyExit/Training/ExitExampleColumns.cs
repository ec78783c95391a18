using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Training;

/// <summary>The columns of the examples that exit classifiers are trained on; the first two have the names that ML.NET's trainers look for.</summary>
internal static class ExitExampleColumns
{
    /// <summary>The hidden state, before any norm: [d] floats.</summary>
    public const string Features = "Features";

    /// <summary>Whether the layer's likeliest token is the last layer's.</summary>
    public const string Label = "Label";

    /// <summary>The layer, from 1.</summary>
    public const string Layer = "Layer";

    /// <summary>The position of the token in its target, from 0.</summary>
    public const string Position = "Position";

    /// <summary>Whether the row is held out.</summary>
    public const string IsHeldOut = "IsHeldOut";

    public static string[] All { get; } = [Features, Label, Layer, Position, IsHeldOut];

    public static DataViewSchema CreateSchema(int width)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(Features, new VectorDataViewType(NumberDataViewType.Single, width));
        builder.AddColumn(Label, BooleanDataViewType.Instance);
        builder.AddColumn(Layer, NumberDataViewType.Int32);
        builder.AddColumn(Position, NumberDataViewType.Int32);
        builder.AddColumn(IsHeldOut, BooleanDataViewType.Instance);
        return builder.ToSchema();
    }
}
