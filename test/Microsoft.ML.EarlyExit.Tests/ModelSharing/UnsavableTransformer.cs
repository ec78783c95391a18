using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A transformer that changes nothing and fails when it is saved.</summary>
internal sealed class UnsavableTransformer : ITransformer
{
    public const string Message = "This transformer is never saved.";

    bool ITransformer.IsRowToRowMapper => false;

    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => inputSchema;

    public IDataView Transform(IDataView input) => input;

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => throw new NotSupportedException();

    void ICanSaveModel.Save(ModelSaveContext ctx) => throw new NotSupportedException(Message);
}
