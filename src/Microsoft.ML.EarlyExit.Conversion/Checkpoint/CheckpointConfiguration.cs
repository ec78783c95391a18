namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>What a checkpoint's configuration files say.</summary>
/// <param name="Model">The sizes and conventions.</param>
/// <param name="TiesEmbeddings">Whether the LM head is the embedding (<c>tie_word_embeddings</c>).</param>
/// <param name="Warnings">What they ask for that a bundle does not keep.</param>
/// <param name="FilesRead">The names of the files.</param>
internal sealed record CheckpointConfiguration(T5Configuration Model, bool TiesEmbeddings, IReadOnlyList<string> Warnings, IReadOnlyList<string> FilesRead);
