namespace Microsoft.ML.EarlyExit;

/// <summary>A loaded T5 that generates text with early exit. Immutable and thread-safe; one copy of the weights serves all callers.</summary>
/// <remarks>Load bundles from trusted sources only.</remarks>
public sealed class EarlyExitModel : IDisposable
{
    /// <summary>Loads a bundle folder.</summary>
    public static EarlyExitModel Load(string bundlePath, EarlyExitModelOptions? options = null) => throw new NotImplementedException();

    /// <summary>The model's sizes.</summary>
    public T5Configuration Configuration => throw new NotImplementedException();

    /// <summary>The bundle's tokenizer; null where it has none.</summary>
    public T5Tokenizer? Tokenizer => throw new NotImplementedException();

    /// <summary>The bundle folder the model was loaded from.</summary>
    internal string BundlePath => throw new NotImplementedException();

    /// <summary>The names of the files in <see cref="BundlePath"/> that make up the bundle.</summary>
    internal IReadOnlyList<string> BundleFiles => throw new NotImplementedException();

    /// <summary>Generates for one text; throws where the row cannot be generated.</summary>
    public GenerationResult Generate(string text, TextGenerationOptions? options = null, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Generates for many rows, in groups of BatchSize; a row that cannot be generated has StopReason.Error and does not disturb the others.</summary>
    public IReadOnlyList<GenerationResult> Generate(IReadOnlyList<GenerationInput> inputs, TextGenerationOptions? options = null, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Releases the sessions and the weights.</summary>
    public void Dispose() => throw new NotImplementedException();
}
