using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML;

/// <summary>Saving models so that no moment of it can lose one, in <c>mlContext.Model</c>.</summary>
public static class ModelSavingCatalog
{
    /// <summary>Saves a model as <c>mlContext.Model.Save</c> does, but replaces an older file in one step: <c>Save</c> empties it first, so that
    /// neither model is there if the process dies while saving.</summary>
    /// <remarks>
    /// <para>After a crash or a kill at any moment the path holds the complete old file or the complete new one. The new one is written beside it, as
    /// <c>NAME.GUID.partial</c>, written through to the disk, and moved to its place. An exception leaves the old file and no partial one; a killed
    /// process can leave its partial file, which may be deleted.</para>
    /// <para>Any transformer can be saved, and <c>mlContext.Model.Load</c> loads what was saved. Who reads the old file meanwhile goes on reading it,
    /// except on Windows, where a file in use cannot be replaced. A replaced file's Unix mode is kept, and a symbolic link's target is what is replaced.
    /// Several savers of one path do not disturb each other: the last one's model stays.</para>
    /// </remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="model">The model.</param>
    /// <param name="inputSchema">The schema of the model's input; null to save none.</param>
    /// <param name="filePath">The file to write; its folder must exist, with room for the old and the new file.</param>
    /// <exception cref="ArgumentNullException">An argument other than the schema is null.</exception>
    /// <exception cref="ArgumentException">The path is empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The path's folder does not exist.</exception>
    /// <exception cref="IOException">The path is a folder or a device, or the file cannot be written or replaced.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder or the older file must not be written.</exception>
    public static void SaveAtomically(this ModelOperationsCatalog catalog, ITransformer model, DataViewSchema? inputSchema, string filePath)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        AtomicFile.Write(filePath, "model file", stream => catalog.Save(model, inputSchema, stream));
    }
}
