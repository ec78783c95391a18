using System.IO.Compression;
using System.Reflection;
using System.Runtime.CompilerServices;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.Runtime;

[assembly: IgnoresAccessChecksTo("Microsoft.ML.Core")]
[assembly: IgnoresAccessChecksTo("Microsoft.ML.Data")]

namespace Microsoft.ML.EarlyExit.Interop;

/// <summary>
/// The only place that touches ML.NET's internals (build/MLNetInternals.targets opens them), but for the attributes that name the loaders. Nothing internal
/// to ML.NET appears in what the rest of the library calls here, and a version of ML.NET that lacks a member is reported as what it is.
/// </summary>
internal static class MLNetInterop
{
    /// <summary>What each model that is being saved holds already; an entry goes with the saving's own object.</summary>
    private static readonly ConditionalWeakTable<object, HashSet<string>> s_stored = [];

    /// <summary>The environment behind a catalog: its log, its seed, its devices.</summary>
    internal static IHostEnvironment GetEnvironment(TransformsCatalog.TextTransforms catalog) => Guard(() => catalog.GetEnvironment());

    /// <summary>The environment's GPU, null for the CPU, and whether the CPU may take its place.</summary>
    internal static (int? GpuDeviceId, bool FallbackToCpu) GetDevice(IHostEnvironment environment) =>
        Guard(() => environment is IHostEnvironmentInternal host ? (host.GpuDeviceId, host.FallbackToCpu) : (null, false));

    /// <summary>Where the environment wants temporary files.</summary>
    internal static string GetTempPath(IHostEnvironment environment) =>
        Guard(() => (environment as IHostEnvironmentInternal)?.TempFilePath) ?? Path.GetTempPath();

    /// <summary>A column of a schema shape; it is not a key.</summary>
    internal static SchemaShape.Column CreateColumn(
        string name, SchemaShape.Column.VectorKind kind, DataViewType itemType, SchemaShape? annotations = null) =>
        Guard(() => new SchemaShape.Column(name, kind, itemType, isKey: false, annotations));

    /// <summary>How ML.NET's own messages name a column's type.</summary>
    internal static string Describe(SchemaShape.Column column) => Guard(() => column.GetTypeString());

    /// <summary>Marks a saved component as ours, for its loader.</summary>
    internal static void BeginSave(ModelSaveContext context, SavedComponent component) => Guard(() =>
    {
        context.CheckAtModel();
        context.SetVersionInfo(Version(component));
        return true;
    });

    /// <summary>Checks that a saved component is one of ours that this version reads, and gives its streams.</summary>
    internal static SavedStreams BeginLoad(ModelLoadContext context, SavedComponent component)
    {
        try
        {
            Guard(() =>
            {
                context.CheckAtModel(Version(component));
                return true;
            });
        }
        catch (FormatException exception)
        {
            // ML.NET speaks of its own version here, which has nothing to do with it.
            throw new InvalidModelException(
                $"Microsoft.ML.EarlyExit {Version(typeof(MLNetInterop).Assembly)} cannot read this saved {component.Kind}: a newer version saved it, "
                + $"or it is damaged. Update the package, or save the model again. ({exception.Message})");
        }

        return Guard(() => new SavedStreams(Entries(context.Repository), context.Directory));
    }

    /// <summary>Saves one stream beside the component; it may be larger than 2 GB.</summary>
    internal static void SaveStream(ModelSaveContext context, string name, Action<Stream> write) => Guard(() =>
    {
        context.SaveBinaryStream(name, writer => write(writer.BaseStream));
        return true;
    });

    /// <summary>Notes that something is stored in the model that is being saved; false where the same model has it already.</summary>
    internal static bool TryMarkStored(ModelSaveContext context, string identity) => Guard(() =>
    {
        HashSet<string> stored = s_stored.GetOrCreateValue(context.Repository);
        lock (stored)
            return stored.Add(identity);
    });

    /// <summary>Makes a call whose members this version of ML.NET may lack.</summary>
    /// <param name="call">A lambda: a missing member shows when the method that contains the call is compiled, so that must not be the caller.</param>
    /// <exception cref="NotSupportedException">A member is missing.</exception>
    internal static T Guard<T>(Func<T> call)
    {
        try
        {
            return call();
        }
        catch (Exception exception) when (exception is MemberAccessException || exception.GetType() == typeof(TypeLoadException))
        {
            // Without an inner exception: where ML.NET loads a model, users look at the innermost.
            throw new NotSupportedException(
                $"Microsoft.ML {Version(typeof(IHostEnvironment).Assembly)} lacks what Microsoft.ML.EarlyExit needs ({exception.Message}). "
                + "Use Microsoft.ML 5.0.1 or a later 5.x version.");
        }
    }

    private static string? Version(Assembly assembly) =>
        assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? assembly.GetName().Version?.ToString();

    private static VersionInfo Version(SavedComponent component) => new(
        modelSignature: component.Signature,
        verWrittenCur: component.Version,
        verReadableCur: component.Version,
        verWeCanReadBack: component.Version,
        // The simple name: another version of this assembly may load what this one saved.
        loaderAssemblyName: typeof(MLNetInterop).Assembly.GetName().Name,
        loaderSignature: component.LoaderSignature);

    // Private, unlike all else here: what there is else unpacks an entry to the disk before anyone can ask how long it is.
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_entries")]
    private static extern ref readonly Dictionary<string, ZipArchiveEntry> Entries(RepositoryReader repository);
}
